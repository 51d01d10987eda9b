"""Routes decide which backends may answer a request, and the gate when it begins."""
