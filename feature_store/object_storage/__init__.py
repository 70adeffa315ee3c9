"""What Spark, Delta and Arrow need to know of a lake in a bucket. Nothing here is used for a lake on a disk."""
