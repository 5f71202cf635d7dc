"""What black-box tests share: a broker process, a raw client, packets."""
