"""ROS 2 nodes: convert, one call into the core, convert. Only this folder knows rclpy and message types."""
