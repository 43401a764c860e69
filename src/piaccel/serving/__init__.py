"""A service for production: models over the Open Inference Protocol, with versions, hot swap, rollback and health."""
