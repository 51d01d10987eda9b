"""The ledger keeps what routers have written down: what requests have used, what left the house, what exercises have shown.

The core is pure: `decoding` (segments become records), `facts` (records become sums), `money`, `seen`, `chain`, `report`.
Around it `tables`, `database`, `books` (what is written, in one transaction), `reading`, `retention`, `verify`, `transfer` and
`backup` know SQL, and `writer` and `server` threads and sockets.
"""
