"""Domains and SIP accounts, and the index from a MAC to the accounts that own it."""
