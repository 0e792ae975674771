"""What a method trains on: prepared scenes, augmented samples of images and clouds with the links between them."""
