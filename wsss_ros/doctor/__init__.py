"""`wsss doctor`, without ROS: findings about the machine, and findings about the topics that a node has observed."""
