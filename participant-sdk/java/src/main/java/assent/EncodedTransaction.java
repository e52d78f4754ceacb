package assent;

import assent.AssentException.InvalidArgument;
import assent.v1.SubmitRequest;
import com.google.protobuf.InvalidProtocolBufferException;

/** A transaction as an outbox keeps it, in whatever language it was published: a serialised assent.v1.SubmitRequest. */
public final class EncodedTransaction {
  private final SubmitRequest request;

  private EncodedTransaction(SubmitRequest request) {
    this.request = request;
  }

  /** Checked. InvalidArgument names the field, the limit and the value. */
  public static EncodedTransaction of(Transaction transaction) {
    transaction.check(false);
    return new EncodedTransaction(SubmitRequest.newBuilder().setTransaction(Wire.spec(transaction)).build());
  }

  /** InvalidArgument: it is none. */
  public static EncodedTransaction read(byte[] bytes) {
    try {
      SubmitRequest request = SubmitRequest.parseFrom(bytes);
      if (!request.hasTransaction()) throw new InvalidArgument("it is an assent.v1.SubmitRequest without a transaction");
      return new EncodedTransaction(request);
    } catch (InvalidProtocolBufferException wrong) {
      throw new InvalidArgument("it is no assent.v1.SubmitRequest: " + wrong.getMessage());
    }
  }

  public String gid() {
    return request.getTransaction().getGid();
  }

  public byte[] bytes() {
    return request.toByteArray();
  }

  SubmitRequest request(WaitFor wait) {
    return request.toBuilder().setWaitFor(Wire.waitFor(wait)).build();
  }
}
