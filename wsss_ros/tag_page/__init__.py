"""The web page to tag with: server, live view and static files, without ROS."""
