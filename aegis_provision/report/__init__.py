"""Plans and events become text or JSON on a given stream."""
