"""What Quorate does when something breaks: members, clients, inputs, load, the disk."""
