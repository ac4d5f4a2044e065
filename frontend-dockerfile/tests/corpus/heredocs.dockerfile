FROM alpine
ARG name=world
RUN <<EOF
echo hello
echo $name
EOF
RUN <<-EOT
	tabs
	EOT
RUN <<PROGRAM
#!/usr/bin/env python3
print(1)
PROGRAM
RUN cat <<one <<'two' > /x
1 $name
one
2
two
COPY <<a.txt <<"b.txt" /dest/
hello $name "quoted" \$name
a.txt
raw $name
b.txt
COPY --chmod=u+x <<EOF /script.sh
run
EOF
ONBUILD RUN <<EOF
later
EOF
