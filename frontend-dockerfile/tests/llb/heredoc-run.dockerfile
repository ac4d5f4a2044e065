FROM busybox
RUN <<EOF
echo one
echo two
EOF
RUN <<-EOF
	tabs
		two
	EOF
RUN <<"EOF"
quoted $x
EOF
RUN cat <<EOF > /f && true
body
EOF
RUN cat <<A <<B > /f
a
A
b
B
RUN <<A <<B
a
A
b
B
RUN 3<<EOF cat /dev/fd/3
fd
EOF
RUN <<EOF

EOF
