"""Learning on the robot, without ROS: ``learner`` is what a node calls, ``round`` the process that trains, ``gate``
what it lets pass, ``versions`` and ``records`` what stays on disk."""
