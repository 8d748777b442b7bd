"""What a phone gets: from a request to bytes, the same for every transport."""
