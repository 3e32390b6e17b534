"""What an organisation demands of its inventories: rules that ``validate`` and ``plan`` check."""
