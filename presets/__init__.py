"""Published configurations, one YAML each."""
