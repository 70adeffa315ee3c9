import datetime as dt
import random
import sys

random.seed(4)
nights = int(sys.argv[1])
with open("events.csv", "w") as f:
    f.write("customer,sku,ts\n")
    for d in range(5 + nights):
        for u in range(60):
            for _k in range(3):
                i = random.randrange(10) * 4 + (u % 4 if random.random() < 0.8 else random.randrange(4))
                f.write(f"u{u},i{i},{dt.datetime(2024, 5, 1 + d, random.randrange(24), random.randrange(60)).isoformat()}Z\n")
C = ["tent", "shoe", "book", "coffee"]
with open("products.csv", "w") as f:
    f.write("sku,name,price\n")
    for i in range(40 + nights):
        if nights and i == 1:
            continue  # taken off sale
        f.write(f"i{i},{'RENAMED ' if nights and i == 2 else ''}{C[i % 4]} {i},{10 + i + nights}\n")
