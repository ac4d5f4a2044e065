# check=skip=all

   # an indented comment
FROM alpine
# a comment block
# of two lines
arg x
run echo a \
  # inside

  b \\
run echo "# not a comment" # neither
Copy 	a	b
