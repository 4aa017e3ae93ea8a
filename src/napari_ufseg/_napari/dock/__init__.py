"""The dock widget, put together."""
