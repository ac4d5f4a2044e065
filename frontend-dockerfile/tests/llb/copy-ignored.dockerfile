#! ignore *.log
#! ignore !keep.log
#! ignore /dir
FROM busybox
COPY . /x
