"""What a resource is made of: its fields, lists, reads, inserts and conditional writes. No HTTP."""
