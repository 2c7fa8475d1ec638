"""What `scripts/bench receive` is made of: studies, senders, receivers, a wire between them, and what each run used."""
