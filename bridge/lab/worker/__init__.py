"""What runs inside the containers of the lab: standard library only, since the image holds little else."""
