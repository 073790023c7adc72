"""TravelPlanner (Xie et al. 2024): plans of journeys, held against common sense, wishes and a database."""
