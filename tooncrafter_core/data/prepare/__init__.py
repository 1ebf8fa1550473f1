"""From raw films to a clip list that the trainings read: the data pipeline of the paper's section 3.1."""
