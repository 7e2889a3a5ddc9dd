"""HTTP, and only HTTP: one file a door or resource. Routes know the rules, rules know the tables."""
