"""What plugins add: their interfaces, the hooks, the registry, and the components of the core itself."""
