"""The far side: what Aegis reads, what it drops, and what breaks its sessions."""
