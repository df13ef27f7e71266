"""Declared rewrites: `[rewrite NAME]` sections of the configuration, compiled to rules of the policy."""
