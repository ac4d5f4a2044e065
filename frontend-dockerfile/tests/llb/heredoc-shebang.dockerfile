FROM busybox
RUN <<EOF
#!/bin/sh -e
echo one
EOF
RUN <<-'run.py'
	#!/usr/bin/env python
	print(1)
	run.py
SHELL ["/bin/ash", "-c"]
RUN --mount=type=cache,target=/dev/cache <<X
#!/bin/sh
X
