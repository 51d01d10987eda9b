module genset.dev/bench/load

go 1.25
