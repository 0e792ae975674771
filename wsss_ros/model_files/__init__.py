"""Files of triangle models, GLB and OBJ, read as surfaces with plain colours or images."""
