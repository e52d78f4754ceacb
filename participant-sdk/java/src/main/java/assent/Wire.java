package assent;

import assent.v1.BranchCommand;
import assent.v1.BranchReply;
import assent.v1.BranchSpec;
import assent.v1.ExecuteBranchReply;
import assent.v1.RetryPolicy;
import assent.v1.SubmitReply;
import assent.v1.TransactionSpec;
import com.google.protobuf.ByteString;
import com.google.protobuf.Message;
import io.grpc.MethodDescriptor;
import io.grpc.MethodDescriptor.MethodType;
import io.grpc.protobuf.ProtoUtils;
import java.time.Duration;
import java.time.Instant;
import java.util.HashMap;
import java.util.Map;
import java.util.Optional;

/** Between the values of this package and the messages of the wire. Here alone are both known. */
final class Wire {
  static final MethodDescriptor<assent.v1.SubmitRequest, SubmitReply> SUBMIT = unary("TransactionService/Submit",
      assent.v1.SubmitRequest.getDefaultInstance(), SubmitReply.getDefaultInstance());
  static final MethodDescriptor<assent.v1.BeginRequest, assent.v1.BeginReply> BEGIN = unary("TransactionService/Begin",
      assent.v1.BeginRequest.getDefaultInstance(), assent.v1.BeginReply.getDefaultInstance());
  static final MethodDescriptor<assent.v1.ExecuteBranchRequest, ExecuteBranchReply> EXECUTE_BRANCH =
      unary("TransactionService/ExecuteBranch",
          assent.v1.ExecuteBranchRequest.getDefaultInstance(), ExecuteBranchReply.getDefaultInstance());
  static final MethodDescriptor<assent.v1.CommitRequest, SubmitReply> COMMIT = unary("TransactionService/Commit",
      assent.v1.CommitRequest.getDefaultInstance(), SubmitReply.getDefaultInstance());
  static final MethodDescriptor<assent.v1.RollbackRequest, SubmitReply> ROLLBACK = unary("TransactionService/Rollback",
      assent.v1.RollbackRequest.getDefaultInstance(), SubmitReply.getDefaultInstance());
  static final MethodDescriptor<assent.v1.WaitRequest, SubmitReply> WAIT = unary("TransactionService/Wait",
      assent.v1.WaitRequest.getDefaultInstance(), SubmitReply.getDefaultInstance());
  static final MethodDescriptor<assent.v1.GetRequest, assent.v1.Transaction> GET = unary("TransactionService/Get",
      assent.v1.GetRequest.getDefaultInstance(), assent.v1.Transaction.getDefaultInstance());
  static final MethodDescriptor<assent.v1.GetServerInfoRequest, assent.v1.ServerInfo> SERVER_INFO =
      unary("TransactionService/GetServerInfo",
          assent.v1.GetServerInfoRequest.getDefaultInstance(), assent.v1.ServerInfo.getDefaultInstance());
  static final MethodDescriptor<assent.v1.GetClusterRequest, assent.v1.ClusterView> CLUSTER =
      unary("ClusterService/Get",
          assent.v1.GetClusterRequest.getDefaultInstance(), assent.v1.ClusterView.getDefaultInstance());
  static final MethodDescriptor<assent.v1.WatchClusterRequest, assent.v1.ClusterView> WATCH_CLUSTER =
      method(MethodType.SERVER_STREAMING, "ClusterService/Watch",
          assent.v1.WatchClusterRequest.getDefaultInstance(), assent.v1.ClusterView.getDefaultInstance());
  static final MethodDescriptor<assent.v1.ParticipantFrame, assent.v1.CoordinatorFrame> CONNECT =
      method(MethodType.BIDI_STREAMING, "ParticipantSession/Connect",
          assent.v1.ParticipantFrame.getDefaultInstance(), assent.v1.CoordinatorFrame.getDefaultInstance());
  static final MethodDescriptor<BranchCommand, BranchReply> EXECUTE = unary("Participant/Execute",
      BranchCommand.getDefaultInstance(), BranchReply.getDefaultInstance());

  private static <A extends Message, B extends Message> MethodDescriptor<A, B> unary(String name, A asked, B answered) {
    return method(MethodType.UNARY, name, asked, answered);
  }

  private static <A extends Message, B extends Message> MethodDescriptor<A, B> method(
      MethodType type, String name, A asked, B answered) {
    return MethodDescriptor.<A, B>newBuilder().setType(type).setFullMethodName("assent.v1." + name)
        .setRequestMarshaller(ProtoUtils.marshaller(asked)).setResponseMarshaller(ProtoUtils.marshaller(answered))
        .build();
  }

  static BranchSpec spec(Branch branch) {
    return BranchSpec.newBuilder().setBranchId(branch.id()).setProtocolValue(branch.protocol().number())
        .setService(branch.service()).setAction(branch.action()).setPayload(ByteString.copyFrom(branch.payload()))
        .addAllAfter(branch.after()).setPivot(branch.pivot()).setCheckBack(branch.checkBack())
        .setReceiveResults(branch.receiveResults()).putAllHeaders(branch.headers()).setAttemptTimeoutMs(branch.attemptTimeout().toMillis())
        .setRetry(RetryPolicy.newBuilder().setInitialBackoffMs(branch.initialBackoff().toMillis())
            .setMaxBackoffMs(branch.maxBackoff().toMillis()).setMaxAttempts(branch.maxAttempts()))
        .build();
  }

  static TransactionSpec spec(Transaction transaction) {
    TransactionSpec.Builder spec = TransactionSpec.newBuilder().setGid(transaction.gid())
        .setOrderingValue(transaction.ordering().ordinal()).setDeadlineMs(transaction.deadline().toMillis())
        .putAllLabels(transaction.labels()).setTraceparent(transaction.trace().traceparent())
        .setTracestate(transaction.trace().tracestate());
    for (Branch branch : transaction.branches()) spec.addBranches(spec(branch));
    return spec.build();
  }

  static assent.v1.WaitFor waitFor(WaitFor wait) {
    return assent.v1.WaitFor.forNumber(wait.number);
  }

  static Report report(SubmitReply reply) {
    return new Report(reply.getGid(), known(State.values(), reply.getStateValue(), State.UNKNOWN),
        known(Outcome.values(), reply.getOutcomeValue(), Outcome.HAZARD), reply.getAbortReason(),
        bytes(reply.getResultsMap()));
  }

  static BranchResult branchResult(ExecuteBranchReply reply) {
    return new BranchResult(reply.getBranchId(), reply.getState() == assent.v1.BranchState.REFUSED,
        reply.getState() == assent.v1.BranchState.READ_ONLY, reply.getResult().toByteArray(), reply.getReason());
  }

  static TransactionInfo info(assent.v1.Transaction message) {
    return new TransactionInfo(message.getGid(), known(State.values(), message.getStateValue(), State.UNKNOWN),
        known(Outcome.values(), message.getOutcomeValue(), Outcome.HAZARD), message.getOpen(), message.getSuspended(),
        message.getBranchesList().stream().map(Wire::branchInfo).toList(), Map.copyOf(message.getLabelsMap()),
        message.getAbortReason(), message.getWhyNotFinished(), Instant.ofEpochMilli(message.getBeganUnixMs()),
        Instant.ofEpochMilli(message.getDeadlineUnixMs()), at(message.getDecidedUnixMs()),
        at(message.getFinishedUnixMs()));
  }

  private static TransactionInfo.BranchInfo branchInfo(assent.v1.Branch one) {
    BranchSpec spec = one.getSpec();
    return new TransactionInfo.BranchInfo(spec.getBranchId(), Optional.ofNullable(Protocol.of(spec.getProtocolValue())),
        spec.getService(), spec.getAction(), known(BranchState.values(), one.getStateValue(), BranchState.UNKNOWN),
        one.getResult().toByteArray(), one.getAttemptCount(), one.getLastError(), one.getNeedsOperator());
  }

  private static Optional<Instant> at(long unixMs) {
    return unixMs == 0 ? Optional.empty() : Optional.of(Instant.ofEpochMilli(unixMs));
  }

  /** By its place in the order of the wire. A value of a newer coordinator is none of ours. */
  private static <E> E known(E[] values, int number, E otherwise) {
    return number >= 0 && number < values.length ? values[number] : otherwise;
  }

  private static Map<String, byte[]> bytes(Map<String, ByteString> map) {
    Map<String, byte[]> out = new HashMap<>();
    map.forEach((key, data) -> out.put(key, data.toByteArray()));
    return Map.copyOf(out);
  }

  /** IllegalArgumentException has a sentence that says what is ill-formed. */
  static Call call(BranchCommand command) {
    if (command.getGid().isEmpty() || command.getBranchId().isEmpty()) {
      throw new IllegalArgumentException("it has no gid, or no branch_id");
    }
    Operation operation = Operation.of(command.getOperationValue());
    Protocol protocol = Protocol.of(command.getProtocolValue());
    if (operation == null || protocol == null) {
      throw new IllegalArgumentException("its operation (" + command.getOperationValue() + ") or protocol ("
          + command.getProtocolValue() + ") is not known here");
    }
    return new Call(command.getGid(), command.getBranchId(), operation, protocol, command.getService(),
        command.getAction(), command.getPayload().toByteArray(), bytes(command.getResultsMap()),
        Map.copyOf(command.getHeadersMap()), command.getAttempt(), command.getOnePhase(),
        Duration.ofMillis(Math.max(command.getTimeoutMs(), 0)), command.getCoordinatorId(), command.getBeganEpoch(),
        Instant.ofEpochMilli(command.getBeganUnixMs()), new Trace(command.getTraceparent(), command.getTracestate()));
  }

  static BranchReply reply(BranchCommand command, Reply reply) {
    BranchReply.Builder message = BranchReply.newBuilder().setGid(command.getGid()).setBranchId(command.getBranchId())
        .setOperationValue(command.getOperationValue()).setCommandId(command.getCommandId())
        .setKindValue(reply.kind().number());
    if (reply.isDone()) return message.setResult(ByteString.copyFrom(reply.result())).build();
    return message.setReason(Text.cut(reply.reason(), Limits.MAX_REASON_BYTES))
        .setRetryAfterMs(reply.retryAfter().toMillis()).setBlockedByGid(reply.blockedBy()).build();
  }

  private Wire() {}
}
