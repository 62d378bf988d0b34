"""What accelerates on the linear model: the choice of points, or the size of the step?"""
