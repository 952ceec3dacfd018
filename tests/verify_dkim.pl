#!/usr/bin/perl
# Verifies the DKIM signature of each mail named on the lines of stdin with Mail::DKIM and prints its
# verdict. The argument is the key's TXT record, which answers for every name that is asked for.
use strict;
use warnings;
use Mail::DKIM::Verifier;
use Net::DNS;

package Answers;
sub send {
    my ( $self, $name, $type ) = @_;
    my $packet = Net::DNS::Packet->new( $name, $type );
    $packet->push( answer => Net::DNS::RR->new( name => $name, type => 'TXT', txtdata => $self->{chunks} ) );
    return $packet;
}
sub errorstring { 'NOERROR' }

package main;
my @chunks = unpack '(a250)*', $ARGV[0];
Mail::DKIM::DNS::resolver( bless { chunks => \@chunks }, 'Answers' );
while ( my $file = <STDIN> ) {
    chomp $file;
    my $verifier = Mail::DKIM::Verifier->new;
    open my $mail, '<:raw', $file or die "$file: $!";
    $verifier->load($mail);
    close $mail;
    print $verifier->result_detail, "\n";
}
