"""What is asked and how an answer is read: prompt, boxes, values."""
