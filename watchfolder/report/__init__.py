"""What is so, and what is wrong, as the console, the page and the messages say it."""
