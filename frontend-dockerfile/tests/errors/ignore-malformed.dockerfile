#! ignore *.log
#! ignore [a-
FROM alpine
