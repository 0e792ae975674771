"""The 3D viewer in a browser, without ROS: what is shown, the panel with its switches, and recorded things to show."""
