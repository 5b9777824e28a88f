"""What every route shares; besides the routers, the only place that knows the web framework."""
