"""Learning on the robot, without ROS.

``collector`` and ``store`` make tagged scenes of a stream, ``learner`` is what a node calls, ``round`` is the process
that trains, ``gate`` decides whether its weights are used, ``versions`` and ``records`` are on disk.
"""
