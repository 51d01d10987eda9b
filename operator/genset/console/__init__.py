"""The console is a read-only page for people: what there is, what it does, what it costs, and what left the house.

Pure: view models (`fleet`, `routes`, `continuity`, `cost`, `egress`, `request_trail`) of what was heard (`heard`, `numbers`,
`history`). Around it: what listens (`following`, `router_polls`, `ledger_asked`), who may see what (`reviews`, `visits`, `oidc`),
and the HTTP shell.
Decided in docs/adr/0024-console.md.
"""
