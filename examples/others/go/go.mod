module ringlet/others

go 1.19
