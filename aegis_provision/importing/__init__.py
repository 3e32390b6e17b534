"""What hosts have becomes what an inventory says: the way back from files to settings."""
