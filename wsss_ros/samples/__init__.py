"""The training data of methods: prepared scenes, augmented samples of images and clouds, the links between them."""
