# Counts a TAP stream of cmocka or of node --test: prints "passed failed skipped results planned", then one line "not ok NAME" for each
# failure. Only leaves count: a test with subtests counts itself only when it failed and none of them did.
function depth(line) { match(line, /^ */); return RLENGTH }

function count(name, ok, directive) {
    if (directive) { skipped++; return }
    if (ok) { passed++; return }
    failed++
    failures = failures "not ok " name "\n"
}

/^ *(not )?ok [0-9]+/ {
    d = depth($0)
    ok = $1 != "not"
    directive = /# (SKIP|TODO)/
    name = $0
    sub(/^ *(not )?ok [0-9]+ *-? */, "", name)
    if (d == 0) results++
    lone_pass = 0
    if (below[d + 4] > 0) {
        if (!ok && failed == failed_before[d]) count(name, 0, 0)
    } else if (name ~ /\.mjs$/ && ok) {
        # node --test names a file that ran nothing as if it were a test
        count(name " ran no test", 0, 0)
    } else {
        count(name, ok, directive)
        lone_pass = ok && !directive
    }
    below[d]++
    below[d + 4] = 0
    failed_before[d] = failed
    failed_before[d + 4] = failed
    next
}

# An empty describe() is no test.
/^ *type: 'suite'/ { if (lone_pass) { passed--; lone_pass = 0 } }

/^1\.\.[0-9]+/ { planned += substr($1, 4) }

END {
    printf "%d %d %d %d %d\n%s", passed, failed, skipped, results, planned, failures
}
