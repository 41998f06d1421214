"""What finished dialogues show: measures, intervals, monitors of reward hacking, win rates."""
