"""What galleries on servers have in common, whichever engine holds them: pictures as rows, ranking, maintenance."""
