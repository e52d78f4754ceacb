+1.000 s  order-21 ACTIVE, tcc, 0/1 branches through: branch 1 orders/create: TRY is on its way
+0.006 s  branch 1 orders/create: TRY try 1 DONE after 5.00 ms
+0.019 s  branch 2 inventory/reserve: TRY try 1 RETRY_LATER after 12.0 ms: warming up
+0.050 s  suspend by ann@desk: looking
+1.000 s  branch 1 orders/create: EXECUTING -> EXECUTED
+1.000 s  branch 2 inventory/reserve (tcc) added
+0.300 s  resume by ann@desk
+0.310 s  abort by ann@desk: customer called
+0.320 s  decision ABORT durable: ann@desk: customer called
+0.334 s  branch 1 orders/create: CANCEL try 1 DONE after 4.00 ms
+0.350 s  branch 2 inventory/reserve: CANCEL try 1 UNKNOWN after 20.0 ms: stream reset
+1.000 s  branch 1 orders/create: EXECUTED -> UNDONE
+1.000 s  branch 2 inventory/reserve: EXECUTING -> UNDOING
+1.000 s  branch 2 inventory/reserve needs a human: stream reset
+1.000 s  coordinator restarted
+0.703 s  branch 2 inventory/reserve: CANCEL try 2 DONE after 3.00 ms
+0.703 s  finished ABORTED
+1.000 s  branch 2 inventory/reserve: UNDOING -> UNDONE
