"""Peers, name server, policy hosts and the server under test."""
