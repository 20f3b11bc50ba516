"""What a trained network says of photographs of one's own."""
