"""Planning is the shell around sizing: it reads headers from hubs, servers and disks, and nodes from files and clusters."""
